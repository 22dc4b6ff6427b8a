"""The bill as people read it: words, figures, comparison, and the document made of them."""
