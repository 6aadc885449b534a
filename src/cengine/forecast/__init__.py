"""What a plan will take: time, memory and money, told from earlier runs."""
