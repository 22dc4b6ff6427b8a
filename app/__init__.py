"""The shell: it imports everyone and is imported by no one."""
