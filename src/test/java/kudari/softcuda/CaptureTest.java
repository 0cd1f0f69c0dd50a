package kudari.softcuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import kudari.softcuda.SoftCuda.Case;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The GPU in software takes captures, graphs, contexts and pointers as CUDA documents them, in what it does and in what it refuses. */
class CaptureTest {

    private static final Map<String, Case> CASES = new HashMap<>();
    private static SoftCuda.Output output = new SoftCuda.Output(-1, "", "");

    @BeforeAll
    static void runProbe() throws Exception {
        if (SoftCuda.obstacle().isPresent()) {
            System.err.println("SKIPPED: " + SoftCuda.obstacle().get() + " Nothing of captures is tested.");
            return;
        }
        output = SoftCuda.run(CaptureProbe.class, Map.of("SOFTCUDA_DEVICES", "2"));
        CASES.putAll(output.cases());
        assertEquals(0, output.status(), output.err());
    }

    @BeforeEach
    void skipWhereItCannotBe() {
        SoftCuda.obstacle().ifPresent(Assumptions::abort);
    }

    private static Case of(String name) {
        assertTrue(CASES.containsKey(name), () -> "the probe did not come to '" + name + "':\n" + output.err());
        return CASES.get(name);
    }

    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource(delimiter = '|', textBlock = """
            all that a capture takes, launched three times    | 9316
            nothing runs before the launch                    | 1
            a pinned page is read at each launch              | 7
            a graph launched in a capture is one node         | 36
            an empty graph                                    | 0
            looking at another event, relaxed                 | 0
            allocating, relaxed                               | 0
            allocating in a relaxed thread                    | 0
            allocating in another thread, per thread          | 0
            allocating a page, relaxed                        | 0
            loading a module, relaxed                         | 0
            null stream                                       | 0
            an end in another thread, relaxed                 | 0
            a stack of contexts                               | 0
            a context destroyed while it is current           | 0
            a context destroyed deeper in the stack           | 709
            a context destroyed by another thread             | 709
            a destroyed context pushed                        | 201201
            a primary context                                 | 709201
            a stream, an event and a function of another context | 400
            an empty stack                                    | 201201
            memory of a device                                | 20
            memory of another device                          | 21
            memory that was freed                             | -2
            a page                                            | 1
            no pointer at all                                 | -1
            """)
    void doesWhatIsAllowed(String name, int result) {
        assertEquals(new Case(result, "[]"), of(name));
    }

    /** A call in a capture gives its own error, and the end of the capture, which it has broken, gives another. */
    @ParameterizedTest(name = "{0}: {1}")
    @CsvSource(delimiter = '|', textBlock = """
            waiting for the stream                            | 900 | 901 | cuStreamSynchronize
            looking at the stream                             | 900 | 901 | cuStreamQuery
            waiting for the context                           | 900 | 901 | cuCtxSynchronize
            waiting for an event of the capture               | 907 | 901 | cuEventSynchronize
            looking at an event of the capture                | 907 | 901 | cuEventQuery
            destroying the stream                             | 900 | 901 | cuStreamDestroy_v2
            waiting for another event                         | 900 | 901 | cuEventSynchronize
            looking at another event                          | 900 | 901 | cuEventQuery
            waiting for another stream                        | 900 | 901 | cuStreamSynchronize
            allocating                                        | 900 | 901 | cuMemAlloc_v2
            allocating, per thread                            | 900 | 901 | cuMemAlloc_v2
            allocating in another thread                      | 900 | 901 | cuMemAlloc_v2
            freeing                                           | 900 | 901 | cuMemFree_v2
            allocating a page                                 | 900 | 901 | cuMemAllocHost_v2
            loading a module                                  | 900 | 901 | cuModuleLoadData
            creating a cuBLAS handle                          | 3   | 901 | cuStreamEndCapture
            copy from the heap                                | 900 | 901 | cuMemcpyHtoDAsync_v2: pageable memory in a capture
            copy to the heap                                  | 900 | 901 | cuMemcpyDtoHAsync_v2: pageable memory in a capture
            copy that waits                                   | 900 | 901 | cuMemcpyHtoD_v2
            copy that waits, of a blocking stream             | 906 | 901 | cuMemcpyHtoD_v2
            null stream, of a blocking stream                 | 906 | 901 | cuMemsetD8Async
            event in the null stream, of a blocking stream    | 906 | 901 | cuEventRecord
            waiting for the null stream, of a blocking stream | 906 | 901 | cuStreamSynchronize
            asking whether the null stream captures           | 906 | 0   | cuStreamIsCapturing
            work after a mistake                              | 901 | 901 | cuMemsetD8Async
            how a broken capture looks                        | 2   | 901 | cuStreamQuery
            an event of a capture that has ended              | 907 | 0   | cuEventQuery
            waiting for an event from before                  | 905 | 901 | cuStreamWaitEvent
            two captures that meet                            | 902 | 901 | cuStreamWaitEvent
            an end in a stream that joined                    | 903 | 901 | cuStreamEndCapture
            an end in another thread                          | 908 | 901 | cuStreamEndCapture
            a second begin                                    | 401 | 901 | cuStreamEndCapture
            work that is not joined                           | 0   | 904 | cuStreamEndCapture: capturing stream has unjoined work
            a begin on the null stream                        | 0   | 900 | cuStreamBeginCapture
            """)
    void refusesWhatIsProhibited(String name, int code, int ended, String report) {
        Case found = of(name);
        assertEquals(1000 * code + ended, found.code(), found.errors());
        assertTrue(found.errors().contains(report), found.errors());
    }

    static Stream<Arguments> faults() {
        return Stream.of(
                Arguments.of(
                        "memory of a kernel freed before the launch", 700, "use after free: 0 bytes into allocation"),
                Arguments.of(
                        "memory of a copy freed before the launch", 700, "use after free: 0 bytes into allocation"),
                Arguments.of("a page of a copy freed before the launch", 700, "was freed before the copy ran"),
                Arguments.of(
                        "a module unloaded before the launch",
                        700,
                        "kernel saxpy: its module was unloaded before it ran"),
                Arguments.of("the second kernel that a graph launches fails", 719, "[]"),
                Arguments.of("a graph destroyed before the launch", 1, "[]"),
                Arguments.of("an end without a begin", 401, "[]"),
                Arguments.of("a primary context destroyed", 201, "a primary context is released, not destroyed"),
                Arguments.of("a kernel in memory of another context", 700, "memory of another context: reads 4 bytes"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("faults")
    void findsWhatGoesWrong(String name, int code, String report) {
        Case found = of(name);
        assertEquals(code, found.code(), found.errors());
        assertTrue(found.errors().contains(report), found.errors());
    }

    @Test
    void reportsWhatIsLeft() {
        for (String left : List.of("a graph", "a capture that nobody ended"))
            assertTrue(output.err().contains("left when its context was destroyed: " + left), output.err());
    }
}
