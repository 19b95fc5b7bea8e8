"""Experiments on live traffic: arms, their statistics, and what they lead to."""
