"""isinstance and the names of a proxy, for classes that both sides have."""

import rpyc


class Shape:
    """A class of both sides."""

    def exposed_area(self):
        """Give the area."""
        return 0


class Square(Shape):
    """One that derives from it."""


class Shapes(rpyc.Service):
    """Gives objects of both."""

    exposed_Square = Square

    def exposed_square(self):
        """Give an object."""
        return Square()

    def exposed_values(self):
        """Give a list."""
        return [1, 2]

    def exposed_mapping(self):
        """Give a dict."""
        return {"a": 1}


if __name__ == "__main__":
    conn = rpyc.connect_thread(remote_service=Shapes)
    root = conn.root
    square = root.square()
    print(isinstance(square, Square), isinstance(square, Shape), isinstance(square, Shapes))
    print(square.__class__ is Square, isinstance(root, Shapes), isinstance(root, rpyc.Service))
    print(isinstance(root.values(), list), isinstance(root.mapping(), dict))
    print(isinstance(root.values(), (dict, str)), isinstance(square, rpyc.BaseNetref))
    print(isinstance(square, root.Square), isinstance(root.Square(), Square))
    print(square.____conn__ is conn, len(square.____id_pack__), square.____id_pack__[0])
    print(square.____refcount__, root.Square.____id_pack__[0])
    conn.close()
