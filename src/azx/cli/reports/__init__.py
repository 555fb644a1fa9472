"""Reports that people read: pages and Markdown from what was measured."""
