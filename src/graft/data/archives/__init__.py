"""Archives: zip, tar and Debian packages, read without trusting them."""
