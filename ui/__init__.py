"""Who asks: the command line and the Streamlit picker."""
