"""Text that tries to break out of where it is shown."""

from __future__ import annotations

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&\u2028\u202e"
