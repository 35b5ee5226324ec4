"""The page of ``unirestorer serve``: a photo in, what is wrong with it, and the restored photo out.

``server`` runs it, ``guard`` decides which requests reach it, ``desk`` keeps the photos, ``studio`` restores them and
says what to show, ``page`` lays it out with gradio. Nothing on it comes from another server.
"""
