"""What only development needs: nothing in here is deployed."""
