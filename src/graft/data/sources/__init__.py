"""Sources of images: the catalogue, folders, tables and archives that a person imports."""
