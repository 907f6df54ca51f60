"""Tapes in a browser: pages of their own, which load nothing from anywhere.

``page.html``, ``page.css`` and ``page.js`` are the page; it gets its content as JSON.
"""
