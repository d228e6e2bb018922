"""How busy this machine is with other things than the lab."""
import os
import pathlib
import time


class Cores:
    """How much of this machine's cores others took: with two cores and many nodes, that decides the latencies."""

    def __init__(self):
        self.busy, self.own, self.stolen, self.at = self.now()

    @staticmethod
    def now():
        """(seconds all cores were busy, seconds of that ours, seconds the host took from them, this moment)."""
        ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        user, nice, system, _, _, irq, softirq, steal = ticks
        own = 0
        for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):  # this process namespace holds the lab alone
            try:
                own += sum(int(word) for word in entry.read_text().rsplit(")", 1)[1].split()[11:15])
            except OSError:
                pass  # it ended
        hertz = os.sysconf("SC_CLK_TCK")
        return (user + nice + system + irq + softirq + steal) / hertz, own / hertz, steal / hertz, time.monotonic()

    def share_of_others(self):
        """What others took of all the cores since the start, as a share."""
        busy, own, _, at = self.now()
        return max(0.0, (busy - self.busy) - (own - self.own)) / ((at - self.at) * os.cpu_count())

    def share_stolen(self):
        """What the host of a virtual machine took of all the cores since the start, as a share."""
        *_, stolen, at = self.now()
        return (stolen - self.stolen) / ((at - self.at) * os.cpu_count())
