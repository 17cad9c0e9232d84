"""Water Cherenkov tanks (HAWC): XCDF files."""
