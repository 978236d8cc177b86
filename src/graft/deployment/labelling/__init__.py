"""What to label next: which images, a page to label them on, and the delivery that comes of it."""
