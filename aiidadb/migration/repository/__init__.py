"""The files of nodes: the folders of AiiDA 0.x and 1.x, and the container of AiiDA 2.x."""
