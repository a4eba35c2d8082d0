"""The machinery, in plain asyncio: nothing in here knows of NoneBot."""
