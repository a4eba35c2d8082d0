"""What is touched of NoneBot and its server: one module for each thing."""
