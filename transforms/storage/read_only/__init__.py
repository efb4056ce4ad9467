"""Where files can only be read: the web, and the Hugging Face Hub."""
