"""What the end-to-end tests are made of; see tests/e2e/run. Standard library only."""
