"""The technical indicators of TA-Lib, with its numbers: over segments, and stepping over bars that are missing."""
