package kudari;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Disabled;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What ran and what did not: only a class whose tests all ran and passed is well. */
class DeviceTestsTest {

    @ParameterizedTest
    @CsvSource({
        "Passes, true, '2 ran, 0 failed, 0 skipped, 0 for'",
        "Fails, false, '1 ran, 1 failed, 0 skipped, 0 for'",
        "Skips, false, '0 ran, 0 failed, 1 skipped, 0 for'",
        "IsDisabled, false, '0 ran, 0 failed, 1 skipped, 0 for'",
        "IsEmpty, false, 'NOTHING RAN'",
        "CannotStart, false, '0 ran, 1 failed, 0 skipped, 0 for'",
        "HasNoRows, false, '0 ran, 1 failed, 0 skipped, 0 for'",
        "IsForSoftware, true, '0 ran, 0 failed, 0 skipped, 1 for'"
    })
    void aClassIsWellIfItsTestsRanAndPassed(String name, boolean well, String line) {
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        assertEquals(well, new DeviceTests.Outcome(getClass().getName() + "$" + name).run(new PrintStream(said)));
        assertTrue(said.toString().contains(line), said.toString());
    }

    static class Passes {
        @ParameterizedTest
        @CsvSource({"1", "2"})
        void test(int n) {
            assertTrue(n > 0);
        }
    }

    static class Fails {
        @Test
        void test() {
            fail("as planned");
        }
    }

    static class Skips {
        @Test
        void test() {
            assumeTrue(false, "no device");
        }
    }

    static class IsDisabled {
        @Test
        @Disabled("for now")
        void test() {}
    }

    static class IsEmpty {}

    static class CannotStart {
        @BeforeAll
        static void start() {
            fail("as planned");
        }

        @Test
        void test() {}
    }

    static class HasNoRows {
        static Stream<Integer> rows() {
            return Stream.of();
        }

        @ParameterizedTest
        @MethodSource("rows")
        void test(int n) {}
    }

    static class IsForSoftware {
        @Test
        void test() {
            assumeTrue(false, DeviceTests.SOFT_ONLY);
        }
    }
}
