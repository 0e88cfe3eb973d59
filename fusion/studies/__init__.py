"""What published results on best quotes come to on a user's own data: arrays of best quotes in, estimates out."""
