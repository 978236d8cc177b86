"""Downloads: files by address or package name, compared with their digests."""
