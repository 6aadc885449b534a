"""What an installation and a project are like, and what mends them."""
