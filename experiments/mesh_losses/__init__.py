"""What each regulariser of a deforming mesh is for."""
