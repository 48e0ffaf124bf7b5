"""The bytes of the native wire, with what each of them is; docs/wire.md shows the same."""

from __future__ import annotations

GOLDEN = {
    "opening": r"""
00 00 00 00 00 4e                    an empty RPyC frame, trailer "N"
00 00 00 00 00 01                    an empty RPyC frame, trailer: version 1
00 00 00 08 00 01 11 50 11 53 11 51  RPyC's GETROOT request
02 0a
""",
    "greeting": r"""
4e 42 52 50 43 00                    "NBRPC", 0
01                                   version: 1
0a                                   line feed
""",
    "hello": r"""
50 00 00 00                          length of the body: 80
01                                   kind: 1 HELLO
00                                   flags: 0
00 00                                buffers: 0
96                                   Hello, array of 6
01                                     version: 1
c4 20 00 01 02 03 04 05 06 07 08 09    nonce: 32 bytes
0a 0b 0c 0d 0e 0f 10 11 12 13 14 15
16 17 18 19 1a 1b 1c 1d 1e 1f
a5 74 6f 6b 65 6e                      auth: "token"
c4 10 40 41 42 43 44 45 46 47 48 49    server_id: 16 bytes
4a 4b 4c 4d 4e 4f
91                                     features: array of 1
a7 73 74 72 65 61 6d 73                  [0]: "streams"
81                                     limits: map of 1
a4 62 6f 64 79                           key: "body"
ce 00 10 00 00                           value: 1048576
""",
    "auth": r"""
2b 00 00 00                          length of the body: 43
02                                   kind: 2 AUTH
00                                   flags: 0
00 00                                buffers: 0
92                                   Auth, array of 2
c4 20 60 61 62 63 64 65 66 67 68 69    proof: 32 bytes
6a 6b 6c 6d 6e 6f 70 71 72 73 74 75
76 77 78 79 7a 7b 7c 7d 7e 7f
81                                     about: map of 1
a3 70 69 64                              key: "pid"
a2 37 31                                 value: "71"
""",
    "request": r"""
28 00 00 00                          length of the body: 40
03                                   kind: 3 REQUEST
00                                   flags: 0
00 00                                buffers: 0
98                                   Request, array of 8
07                                     seq: 7
05                                     op: 5
03                                     oid: 3
a6 61 2e 73 63 61 6e                   name: "a.scan"
92                                     args: array of 2
cc c8                                    [0]: 200
94                                       [1]: Bytes, array of 4
01                                         tag: 1
a1 62                                      kind: "b"
ff                                         index: -1
c4 02 68 69                                data: 2 bytes
81                                     kwargs: map of 1
a4 66 61 73 74                           key: "fast"
c3                                       value: true
00                                     parent: 0
cb 40 04 00 00 00 00 00 00             timeout: 2.5
""",
    "request with buffers": r"""
1e 00 00 00                          length of the body: 30
03                                   kind: 3 REQUEST
00                                   flags: 0
02 00                                buffers: 2
98                                   Request, array of 8
08                                     seq: 8
05                                     op: 5
03                                     oid: 3
a1 66                                  name: "f"
92                                     args: array of 2
94                                       [0]: Bytes, array of 4
01                                         tag: 1
a1 62                                      kind: "b"
00                                         index: 0
c4 00                                      data: 0 bytes
96                                       [1]: Array, array of 6
0b                                         tag: 11
a3 3c 66 38                                dtype: "<f8"
91                                         shape: array of 1
01                                           [0]: 1
01                                         index: 1
c4 00                                      data: 0 bytes
a1 43                                      order: "C"
c0                                     kwargs: nil
00                                     parent: 0
c0                                     timeout: nil
0a 00 00 00 00 00 00 00              length of the buffer: 10
08 00 00 00 00 00 00 00              length of the buffer: 8
6c 61 72 67 65 20 64 61 74 61        buffer
00 00 00 00 00 00 f0 3f              buffer
""",
    "request WATCH": r"""
26 00 00 00                          length of the body: 38
03                                   kind: 3 REQUEST
00                                   flags: 0
00 00                                buffers: 0
95                                   Request, array of 5
07                                     seq: 7
13                                     op: 19 WATCH
03                                     oid: 3
ae 73 74 61 67 65 2e 70 6f 73 69 74    name: "stage.position"
69 6f 6e
94                                     args: array of 4
01                                       [0]: 1
a6 6c 61 74 65 73 74                     [1]: "latest"
01                                       [2]: 1
cb 3f e0 00 00 00 00 00 00               [3]: 0.5
""",
    "request EXECUTE": r"""
0b 00 00 00                          length of the body: 11
03                                   kind: 3 REQUEST
00                                   flags: 0
00 00                                buffers: 0
95                                   Request, array of 5
07                                     seq: 7
16                                     op: 22 EXECUTE
00                                     oid: 0
a5 78 20 3d 20 32                      name: "x = 2"
90                                     args: array of 0
""",
    "request CELL": r"""
29 00 00 00                          length of the body: 41
03                                   kind: 3 REQUEST
00                                   flags: 0
00 00                                buffers: 0
95                                   Request, array of 5
07                                     seq: 7
17                                     op: 23 CELL
00                                     oid: 0
a9 79 20 3d 20 78 20 2b 20 31          name: "y = x + 1"
94                                     args: array of 4
ad 3c 72 65 6d 6f 74 65 20 63 65 6c      [0]: "<remote cell>"
6c 3e
02                                       [1]: 2
92                                       [2]: Map, array of 2
06                                         tag: 6
81                                         items: map of 1
a1 78                                        key: "x"
01                                           value: 1
92                                       [3]: Tuple, array of 2
02                                         tag: 2
91                                         items: array of 1
a1 79                                        [0]: "y"
""",
    "request SESSION": r"""
12 00 00 00                          length of the body: 18
03                                   kind: 3 REQUEST
00                                   flags: 0
00 00                                buffers: 0
95                                   Request, array of 5
07                                     seq: 7
1c                                     op: 28 SESSION
00                                     oid: 0
a6 61 74 74 61 63 68                   name: "attach"
91                                     args: array of 1
a5 6e 69 67 68 74                        [0]: "night"
""",
    "request COMPLETE": r"""
0d 00 00 00                          length of the body: 13
03                                   kind: 3 REQUEST
00                                   flags: 0
00 00                                buffers: 0
95                                   Request, array of 5
07                                     seq: 7
18                                     op: 24 COMPLETE
00                                     oid: 0
a0                                     name: empty
92                                     args: array of 2
a5 6e 70 2e 61 72                        [0]: "np.ar"
05                                       [1]: 5
""",
    "request INSPECT": r"""
11 00 00 00                          length of the body: 17
03                                   kind: 3 REQUEST
00                                   flags: 0
00 00                                buffers: 0
95                                   Request, array of 5
07                                     seq: 7
19                                     op: 25 INSPECT
00                                     oid: 0
a0                                     name: empty
93                                     args: array of 3
a8 6e 70 2e 61 72 72 61 79               [0]: "np.array"
08                                       [1]: 8
01                                       [2]: 1
""",
    "request DESCRIBE of a page": r"""
19 00 00 00                          length of the body: 25
03                                   kind: 3 REQUEST
00                                   flags: 0
00 00                                buffers: 0
95                                   Request, array of 5
07                                     seq: 7
10                                     op: 16 DESCRIBE
03                                     oid: 3
a0                                     name: empty
96                                     args: array of 6
a4 70 61 67 65                           [0]: "page"
a5 69 74 65 6d 73                        [1]: "items"
00                                       [2]: 0
32                                       [3]: 50
a3 6b 65 79                              [4]: "key"
a1 61                                    [5]: "a"
""",
    "request DISPLAY": r"""
0b 00 00 00                          length of the body: 11
03                                   kind: 3 REQUEST
00                                   flags: 0
00 00                                buffers: 0
95                                   Request, array of 5
07                                     seq: 7
12                                     op: 18 DISPLAY
03                                     oid: 3
a5 74 61 62 6c 65                      name: "table"
90                                     args: array of 0
""",
    "reply": r"""
10 00 00 00                          length of the body: 16
04                                   kind: 4 REPLY
00                                   flags: 0
00 00                                buffers: 0
92                                   Reply, array of 2
07                                     seq: 7
92                                     value: Tuple, array of 2
02                                       tag: 2
93                                       items: array of 3
01                                         [0]: 1
cb bf f8 00 00 00 00 00 00                 [1]: -1.5
c0                                         [2]: nil
""",
    "failure": r"""
2e 00 00 00                          length of the body: 46
05                                   kind: 5 FAILURE
00                                   flags: 0
00 00                                buffers: 0
92                                   Failure, array of 2
07                                     seq: 7
9d                                     error: Error, array of 13
aa 56 61 6c 75 65 45 72 72 6f 72         type_name: "ValueError"
91                                       args: array of 1
a3 62 61 64                                [0]: "bad"
ad 54 72 61 63 65 62 61 63 6b 20 2e      text: "Traceback ..."
2e 2e
a3 62 61 64                              message: "bad"
90                                       notes: array of 0
80                                       attributes: map of 0
c0                                       cause: nil
c0                                       context: nil
90                                       members: array of 0
01                                       hops: 1
90                                       ancestry: array of 0
00                                       number: 0
00                                       home: 0
""",
    "failure of a class of the sender": r"""
67 00 00 00                          length of the body: 103
05                                   kind: 5 FAILURE
00                                   flags: 0
00 00                                buffers: 0
92                                   Failure, array of 2
08                                     seq: 8
9d                                     error: Error, array of 13
aa 6c 61 62 2e 54 6f 6f 48 6f 74         type_name: "lab.TooHot"
91                                       args: array of 1
cb 40 44 c0 00 00 00 00 00                 [0]: 41.5
ad 54 72 61 63 65 62 61 63 6b 20 2e      text: "Traceback ..."
2e 2e
a4 34 31 2e 35                           message: "41.5"
90                                       notes: array of 0
81                                       attributes: map of 1
a5 6c 69 6d 69 74                          key: "limit"
cb 40 44 00 00 00 00 00 00                 value: 40.0
c0                                       cause: nil
c0                                       context: nil
90                                       members: array of 0
01                                       hops: 1
93                                       ancestry: array of 3
92                                         [0]: Ancestor, array of 2
aa 6c 61 62 2e 54 6f 6f 48 6f 74             name: "lab.TooHot"
91                                           bases: array of 1
01                                             [0]: 1
92                                         [1]: Ancestor, array of 2
a7 4f 53 45 72 72 6f 72                      name: "OSError"
90                                           bases: array of 0
92                                         [2]: Ancestor, array of 2
a9 45 78 63 65 70 74 69 6f 6e                name: "Exception"
90                                           bases: array of 0
03                                       number: 3
00                                       home: 0
""",
    "cancel": r"""
02 00 00 00                          length of the body: 2
06                                   kind: 6 CANCEL
00                                   flags: 0
00 00                                buffers: 0
91                                   Cancel, array of 1
07                                     seq: 7
""",
    "release": r"""
06 00 00 00                          length of the body: 6
07                                   kind: 7 RELEASE
00                                   flags: 0
00 00                                buffers: 0
91                                   Release, array of 1
94                                     counts: array of 4
03                                       [0]: 3
01                                       [1]: 1
04                                       [2]: 4
02                                       [3]: 2
""",
    "event": r"""
0b 00 00 00                          length of the body: 11
08                                   kind: 8 EVENT
00                                   flags: 0
00 00                                buffers: 0
94                                   Event, array of 4
01                                     channel: 1
91                                     args: array of 1
a5 72 65 61 64 79                        [0]: "ready"
00                                     dropped: 0
c0                                     ended: nil
""",
    "credit": r"""
07 00 00 00                          length of the body: 7
09                                   kind: 9 CREDIT
00                                   flags: 0
00 00                                buffers: 0
93                                   Credit, array of 3
a1 65                                  kind: "e"
01                                     channel: 1
cd 01 f4                               amount: 500
""",
    "progress": r"""
1d 00 00 00                          length of the body: 29
0a                                   kind: 10 PROGRESS
00                                   flags: 0
00 00                                buffers: 0
94                                   Progress, array of 4
07                                     seq: 7
cb 40 34 00 00 00 00 00 00             done: 20.0
cb 40 69 00 00 00 00 00 00             total: 200.0
a8 73 63 61 6e 6e 69 6e 67             text: "scanning"
""",
    "output": r"""
0d 00 00 00                          length of the body: 13
0b                                   kind: 11 OUTPUT
00                                   flags: 0
00 00                                buffers: 0
93                                   Output, array of 3
07                                     seq: 7
a6 73 74 64 6f 75 74                   kind: "stdout"
a3 68 69 0a                            content: "hi", line feed
""",
    "items": r"""
05 00 00 00                          length of the body: 5
0c                                   kind: 12 ITEMS
00                                   flags: 0
00 00                                buffers: 0
92                                   Items, array of 2
07                                     seq: 7
92                                     items: array of 2
01                                       [0]: 1
02                                       [1]: 2
""",
    "ping": r"""
04 00 00 00                          length of the body: 4
0d                                   kind: 13 PING
00                                   flags: 0
00 00                                buffers: 0
91                                   Ping, array of 1
cd 01 02                               number: 258
""",
    "pong": r"""
04 00 00 00                          length of the body: 4
0e                                   kind: 14 PONG
00                                   flags: 0
00 00                                buffers: 0
91                                   Pong, array of 1
cd 01 02                               number: 258
""",
    "goodbye": r"""
06 00 00 00                          length of the body: 6
0f                                   kind: 15 GOODBYE
00                                   flags: 0
00 00                                buffers: 0
91                                   Goodbye, array of 1
a4 64 6f 6e 65                         reason: "done"
""",
    "describe": r"""
46 00 00 00                          length of the body: 70
11                                   kind: 17 DESCRIBE
00                                   flags: 0
00 00                                buffers: 0
92                                   Describe, array of 2
02                                     key: 2
98                                     description: Description, array of 8
a3 6c 61 62                              module: "lab"
a5 53 74 61 67 65                        name: "Stage"
a8 69 6e 73 74 61 6e 63 65               kind: "instance"
82                                       members: map of 2
a4 6d 6f 76 65                             key: "move"
a6 6d 65 74 68 6f 64                       value: "method"
a5 73 70 65 65 64                          key: "speed"
a8 70 72 6f 70 65 72 74 79                 value: "property"
91                                       specials: array of 1
a7 5f 5f 6c 65 6e 5f 5f                    [0]: "__len__"
c0                                       base: nil
a8 41 20 73 74 61 67 65 2e               doc: "A stage."
a0                                       enumeration: empty
""",
    "chunks": r"""
09 00 00 00                          length of the body: 9
04                                   kind: 4 REPLY
01                                   flags: 1, the buffers follow in chunks
01 00                                buffers: 1
92                                   Reply, array of 2
07                                     seq: 7
94                                     value: Bytes, array of 4
01                                       tag: 1
a1 62                                    kind: "b"
00                                       index: 0
c4 00                                    data: 0 bytes
0a 00 00 00 00 00 00 00              length of the buffer: 10
09 00 00 00                          number of the transfer: 9
0e 00 00 00                          length of the body: 14
10                                   kind: 16 CHUNK
00                                   flags: 0
00 00                                buffers: 0
09 00 00 00                          number of the transfer: 9
30 31 32 33 34 35 36 37 38 39        data
""",
    "value Bytes": r"""
94                                   Bytes, array of 4
01                                     tag: 1
a1 62                                  kind: "b"
ff                                     index: -1
c4 02 00 ff                            data: 2 bytes
""",
    "value Bytes beside the body": r"""
94                                   Bytes, array of 4
01                                     tag: 1
a1 61                                  kind: "a"
00                                     index: 0
c4 00                                  data: 0 bytes
""",
    "value Bytes of a text": r"""
94                                   Bytes, array of 4
01                                     tag: 1
a1 75                                  kind: "u"
ff                                     index: -1
c4 03 ed a0 80                         data: 3 bytes
""",
    "value Tuple": r"""
92                                   Tuple, array of 2
02                                     tag: 2
92                                     items: array of 2
01                                       [0]: 1
a1 61                                    [1]: "a"
""",
    "value List": r"""
92                                   List, array of 2
03                                     tag: 3
91                                     items: array of 1
c3                                       [0]: true
""",
    "value Set": r"""
92                                   Set, array of 2
04                                     tag: 4
91                                     items: array of 1
a1 61                                    [0]: "a"
""",
    "value Frozen": r"""
92                                   Frozen, array of 2
05                                     tag: 5
91                                     items: array of 1
02                                       [0]: 2
""",
    "value Map": r"""
92                                   Map, array of 2
06                                     tag: 6
81                                     items: map of 1
a1 78                                    key: "x"
01                                       value: 1
""",
    "value Pairs": r"""
93                                   Pairs, array of 3
07                                     tag: 7
91                                     keys: array of 1
01                                       [0]: 1
91                                     values: array of 1
a3 6f 6e 65                              [0]: "one"
""",
    "value Scalar": r"""
94                                   Scalar, array of 4
08                                     tag: 8
a4 64 61 74 65                         kind: "date"
aa 32 30 32 36 2d 31 31 2d 32 32       text: "2026-11-22"
c4 00                                  data: 0 bytes
""",
    "value Slice": r"""
95                                   Slice, array of 5
09                                     tag: 9
a1 73                                  kind: "s"
00                                     start: 0
c0                                     stop: nil
02                                     step: 2
""",
    "value Range": r"""
95                                   Slice, array of 5
09                                     tag: 9
a1 72                                  kind: "r"
00                                     start: 0
0a                                     stop: 10
02                                     step: 2
""",
    "value Packed": r"""
93                                   Packed, array of 3
0a                                     tag: 10
a1 71                                  kind: "q"
00                                     index: 0
""",
    "value Array": r"""
96                                   Array, array of 6
0b                                     tag: 11
a3 3c 66 38                            dtype: "<f8"
92                                     shape: array of 2
02                                       [0]: 2
03                                       [1]: 3
00                                     index: 0
c4 00                                  data: 0 bytes
a1 43                                  order: "C"
""",
    "value Array in the other order": r"""
96                                   Array, array of 6
0b                                     tag: 11
a3 3c 66 38                            dtype: "<f8"
92                                     shape: array of 2
02                                       [0]: 2
03                                       [1]: 3
00                                     index: 0
c4 00                                  data: 0 bytes
a1 46                                  order: "F"
""",
    "value Array of a scalar": r"""
96                                   Array, array of 6
0b                                     tag: 11
a3 3c 69 32                            dtype: "<i2"
c0                                     shape: nil
ff                                     index: -1
c4 02 01 02                            data: 2 bytes
a1 43                                  order: "C"
""",
    "value Table": r"""
92                                   Table, array of 2
0c                                     tag: 12
00                                     index: 0
""",
    "value Registered": r"""
93                                   Registered, array of 3
0d                                     tag: 13
a9 6c 61 62 2e 50 6f 69 6e 74          name: "lab.Point"
92                                     fields: array of 2
01                                       [0]: 1
02                                       [1]: 2
""",
    "value Ref": r"""
94                                   Ref, array of 4
0e                                     tag: 14
05                                     oid: 5
02                                     key: 2
c0                                     text: nil
""",
    "value Ref with a text": r"""
94                                   Ref, array of 4
0e                                     tag: 14
06                                     oid: 6
03                                     key: 3
ac 2f 64 61 74 61 2f 72 75 6e 2e 68    text: "/data/run.h5"
35
""",
    "value Home": r"""
93                                   Home, array of 3
0f                                     tag: 15
03                                     oid: 3
a4 6d 6f 76 65                         path: "move"
""",
    "value Made": r"""
93                                   Made, array of 3
10                                     tag: 16
b1 63 6f 6c 6c 65 63 74 69 6f 6e 73    kind: "collections.deque"
2e 64 65 71 75 65
92                                     parts: array of 2
92                                       [0]: List, array of 2
03                                         tag: 3
92                                         items: array of 2
01                                           [0]: 1
02                                           [1]: 2
64                                       [1]: 100
""",
    "value Made of a record": r"""
93                                   Made, array of 3
10                                     tag: 16
a6 72 65 63 6f 72 64                   kind: "record"
96                                     parts: array of 6
a5 50 6f 69 6e 74                        [0]: "Point"
92                                       [1]: Tuple, array of 2
02                                         tag: 2
92                                         items: array of 2
a1 78                                        [0]: "x"
a1 79                                        [1]: "y"
c3                                       [2]: true
c0                                       [3]: nil
cb 3f f8 00 00 00 00 00 00               [4]: 1.5
02                                       [5]: 2
""",
    "value Same": r"""
92                                   List, array of 2
03                                     tag: 3
92                                     items: array of 2
92                                       [0]: List, array of 2
03                                         tag: 3
91                                         items: array of 1
01                                           [0]: 1
92                                       [1]: Same, array of 2
11                                         tag: 17
01                                         number: 1
""",
    "value Parts": r"""
92                                   List, array of 2
03                                     tag: 3
91                                     items: array of 1
92                                       [0]: Parts, array of 2
12                                         tag: 18
92                                         indices: array of 2
00                                           [0]: 0
01                                           [1]: 1
""",
    "value None": r"""
c0                                   nil
""",
    "value True": r"""
c3                                   true
""",
    "value 7": r"""
07                                   7
""",
    "value -1": r"""
ff                                   -1
""",
    "value 300": r"""
cd 01 2c                             300
""",
    "value 1.5": r"""
cb 3f f8 00 00 00 00 00 00           1.5
""",
    "value text": r"""
a2 c3 a9                             "é"
""",
}
"""From the name of an example to lines of hex, and from column 37 on a comment."""
