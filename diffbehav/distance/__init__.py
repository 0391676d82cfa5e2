"""From the answers and scores of two sides to numbers; 0 means alike. Candidate first, trusted second."""
