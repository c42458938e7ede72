"""What operators see and do: reading the books, and acting on them."""
