"""What is promised of a bot that runs on, seen through its public names."""
