"""Which representation of 3D shape should one predict from one image?"""
