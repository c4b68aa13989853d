"""The picker's views, one file each."""
