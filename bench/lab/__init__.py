"""A lab of real nodes on shaped, lossy links, in network namespaces of this one machine.

    from lab import sandbox, network, nodes
    sandbox.enter()                          # from here on: private network, mount and process namespaces
    with nodes.Lab(count=8) as lab:
        lab.start_all()
        lab.network.set_loss(0.10)

Everything lives in namespaces that end with the process, so nothing is left behind however it dies.
"""
