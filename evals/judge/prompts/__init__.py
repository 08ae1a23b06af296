"""What judges are asked, as templates."""
