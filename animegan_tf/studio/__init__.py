"""Programs that take several rooms: one's own style, from two folders of pictures to a style folder."""
