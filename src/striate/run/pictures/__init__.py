"""What an exported run of pictures is used by: a file for whole pictures, its reader, a web page."""
