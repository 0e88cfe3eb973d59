"""The technical indicators of TA-Lib, with its numbers: over segments, and stepping over bars that are missing. `names`
says which function is TA-Lib's which."""
