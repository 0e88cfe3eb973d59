"""Kernels over batches of images: lots x images, with a map of cells for each lot."""
