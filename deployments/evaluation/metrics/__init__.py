"""What an answer is worth by a well-kept library's or our own measure."""
