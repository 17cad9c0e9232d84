"""What `import airshower` offers: data files opened, networks trained, and trained networks loaded."""
