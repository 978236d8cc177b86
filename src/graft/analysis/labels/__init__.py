"""Labels that the images contradict."""
