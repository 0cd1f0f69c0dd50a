package kudari;

import static java.lang.invoke.MethodType.methodType;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.Field;
import java.nio.Buffer;

/**
 * Where the memory of a direct buffer begins. Java has told it since 22, by {@code MemorySegment.ofBuffer(buffer).address()}; before, {@code
 * sun.misc.Unsafe} reads the field that holds it, which modern versions warn of.
 */
final class BufferAddress {

    /** From a buffer to a long; or null if this Java has neither. */
    private static final MethodHandle OF = find();

    private BufferAddress() {}

    /**
     * The address of a direct buffer's first element, whatever its position.
     *
     * @param buffer whose position is 0
     * @throws UnsupportedOperationException if nothing tells it
     */
    static long of(Buffer buffer) {
        if (OF == null)
            throw new UnsupportedOperationException(
                    "elements: expected a Java that tells the address of a direct buffer, 22 or later or with the module"
                            + " jdk.unsupported, got " + Runtime.version().feature()
                            + " without; say 'requires jdk.unsupported' in module-info.java");
        try {
            return (long) OF.invokeExact(buffer);
        } catch (Throwable e) {
            throw new IllegalStateException("the address of " + buffer, e); // a memory segment that is closed
        }
    }

    private static MethodHandle find() {
        MethodHandles.Lookup lookup = MethodHandles.publicLookup();
        try {
            Class<?> segment = Class.forName("java.lang.foreign.MemorySegment");
            MethodHandle of = lookup.findStatic(segment, "ofBuffer", methodType(segment, Buffer.class));
            return MethodHandles.filterReturnValue(of, lookup.findVirtual(segment, "address", methodType(long.class)));
        } catch (ReflectiveOperationException e) {
            return fieldByUnsafe();
        }
    }

    private static MethodHandle fieldByUnsafe() {
        try {
            Class<?> type = Class.forName("sun.misc.Unsafe");
            Field single = type.getDeclaredField("theUnsafe");
            single.setAccessible(true);
            Object unsafe = single.get(null);
            Object at = type.getMethod("objectFieldOffset", Field.class)
                    .invoke(unsafe, Buffer.class.getDeclaredField("address"));
            MethodHandle read = MethodHandles.publicLookup()
                    .findVirtual(type, "getLong", methodType(long.class, Object.class, long.class))
                    .bindTo(unsafe);
            return MethodHandles.insertArguments(read, 1, at).asType(methodType(long.class, Buffer.class));
        } catch (ReflectiveOperationException | RuntimeException e) {
            return null;
        }
    }
}
