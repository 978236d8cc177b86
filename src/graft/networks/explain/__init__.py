"""What a network sees in a photograph: which places speak for a class."""
