from naive.lots import lot_fill

__all__ = ["lot_fill"]
