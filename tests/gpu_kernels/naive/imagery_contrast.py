from naive.lots import cell_contrast

__all__ = ["cell_contrast"]
