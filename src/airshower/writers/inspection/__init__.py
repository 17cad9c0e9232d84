"""What files hold, as a record, figures and a page."""
