"""The program of ebayes, in rooms: each imports from the rooms below it, and none from `ebayes_plugins`.

From the top: `cli`; `bench` and `testing`; `sweeps`; `measure` and `report`; `engine`; `spec`; `contract`; `results`;
`storage`; `console`; then the modules `errors` and `wording`. `docs/design.md` has the map.
"""
