"""Work that outlives the bot: enqueued in a database, done by this process or by workers elsewhere."""
