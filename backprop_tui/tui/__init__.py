"""The screens and widgets: shows what the session holds, knows no calculus."""
