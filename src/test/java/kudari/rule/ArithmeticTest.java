package kudari.rule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

/** The functions of the loops whose results are more than one operation's. */
class ArithmeticTest {

    /** A million numbers of every size against the root in double, which is off by 2⁻⁵². */
    @Test
    void theCubeRootIsWithinItsErrorBound() {
        Random random = new Random(27);
        for (int i = 0; i < 1_000_000; i++) {
            float x = (float) Math.scalb(1 + random.nextDouble(), random.nextInt(252) - 126);
            double exact = Math.cbrt(x);
            assertEquals(exact, Arithmetic.cubeRoot(x), exact * 0x1p-23, () -> "of " + x);
        }
    }

    @Test
    void theCubeRootOfWhatIsOutOfItsRangeIsThatOfTheNearest() {
        for (float x : new float[] {0, -0.0f, -8, Float.MIN_VALUE, Float.NEGATIVE_INFINITY})
            assertEquals(0x1p-42f, Arithmetic.cubeRoot(x));
        for (float x : new float[] {Float.MAX_VALUE, Float.POSITIVE_INFINITY})
            assertEquals(0x1p42f, Arithmetic.cubeRoot(x));
        assertTrue(Float.isNaN(Arithmetic.cubeRoot(Float.NaN)));
    }

    @Test
    void theSignIsThatOfJava() {
        for (float x : new float[] {
            0, -0.0f, 1, -7, Float.MIN_VALUE, -Float.MIN_VALUE, Float.MAX_VALUE, 1 / 0f, -1 / 0f, Float.NaN
        }) assertEquals(Math.signum(x), Arithmetic.sign(x));
    }

    @Test
    void theLargerOfTwoIsNotANumberWhereEitherIsNone() {
        assertEquals(2, Arithmetic.larger(1, 2));
        assertEquals(2, Arithmetic.larger(2, 1));
        assertTrue(Float.isNaN(Arithmetic.larger(Float.NaN, 1)));
        assertTrue(Float.isNaN(Arithmetic.larger(1, Float.NaN)));
        assertEquals(0.0f, Arithmetic.larger(-0.0f, 0));
        assertEquals(0.0f, Arithmetic.larger(0, -0.0f));
    }
}
