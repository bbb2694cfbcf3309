"""Small asyncio tools that several rooms use: deadlines, a task group, a channel, a rendezvous."""
