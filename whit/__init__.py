"""whit: which training makes my small language model reason, and what will it cost?"""
