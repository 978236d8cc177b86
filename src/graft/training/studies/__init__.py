"""Studies of a frozen strategy on training images: cross-validation, what each option is worth, more photographs."""
